// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {Permit2Code} from "../support/Permit2Code.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

interface IPermit2Domain {
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}

contract SaltChannels_depositWithPermit2 is SaltChannelsTest {
    address private permit2;
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        permit2 = Permit2Code.deploy();
        deadline = block.timestamp + 60;
        approve(token);
    }

    function test_depositWithPermit2_opensForThePayer() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        deposit(channel, DEPOSIT, 0);

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(token.balanceOf(address(channels)), DEPOSIT);
    }

    function test_depositWithPermit2_topsUp() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        deposit(channel, 1 ether, DEPOSIT);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
    }

    /// @dev Held back until the payer wants to leave, it must neither keep it in nor lock up more of its money.
    function test_depositWithPermit2_reverts_whileAnExitIsPending() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory signature = permitOf(channel, 1 ether, DEPOSIT);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ExitPending.selector, channels.channelId(channel), exitAt));
        vm.prank(anyone);
        channels.depositWithPermit2(channel, 1 ether, DEPOSIT, 7, deadline, signature);
        assertState(channel, DEPOSIT, 0, exitAt, false);
    }

    function test_depositWithPermit2_takesAWalletsSignature() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        channel.payer = address(new ContractWallet(payer.addr));
        token.mint(channel.payer, DEPOSIT);
        vm.prank(channel.payer);
        token.approve(permit2, DEPOSIT);

        deposit(channel, DEPOSIT, 0);
        assertState(channel, DEPOSIT, 0, 0, false);
    }

    function test_depositWithPermit2_reverts_whenAThiefUsesThePermit() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        channel.payee = anyone;
        vm.expectRevert(abi.encodeWithSignature("InvalidSigner()"));
        channels.depositWithPermit2(channel, DEPOSIT, 0, 7, deadline, signature);
    }

    function test_depositWithPermit2_reverts_whenAnOpeningIsUsedToTopUp() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        vm.expectRevert(abi.encodeWithSignature("InvalidSigner()"));
        channels.depositWithPermit2(channel, DEPOSIT, DEPOSIT, 7, deadline, signature);
    }

    function test_depositWithPermit2_reverts_whenTheAmountIsAnother() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        vm.expectRevert(abi.encodeWithSignature("InvalidSigner()"));
        channels.depositWithPermit2(channel, DEPOSIT - 1, 0, 7, deadline, signature);
    }

    function test_depositWithPermit2_reverts_afterTheDeadline() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSignature("SignatureExpired(uint256)", deadline));
        channels.depositWithPermit2(channel, DEPOSIT, 0, 7, deadline, signature);
    }

    function test_depositWithPermit2_reverts_whenTheTokenTakesAFee() external {
        FeeOnTransferToken fee = new FeeOnTransferToken();
        fund(fee);
        approve(fee);
        ISaltChannels.Channel memory channel = channelIn(address(fee));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.InexactTransfer.selector, address(fee), DEPOSIT, 0, DEPOSIT - 1)
        );
        channels.depositWithPermit2(channel, DEPOSIT, 0, 7, deadline, signature);
    }

    function test_depositWithPermit2_reverts_whereThereIsNoPermit2() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = permitOf(channel, DEPOSIT, 0);
        vm.etch(permit2, "");
        vm.expectRevert();
        channels.depositWithPermit2(channel, DEPOSIT, 0, 7, deadline, signature);
    }

    function approve(PlainToken asset) private {
        vm.prank(payer.addr);
        asset.approve(permit2, type(uint256).max);
    }

    function deposit(ISaltChannels.Channel memory channel, uint256 amount, uint256 before) private {
        bytes memory signature = permitOf(channel, amount, before);
        vm.prank(anyone);
        channels.depositWithPermit2(channel, amount, before, 7, deadline, signature);
    }

    /// @dev Written out a second time, so that the contract's hashes are not checked against themselves.
    function permitOf(ISaltChannels.Channel memory channel, uint256 amount, uint256 before)
        private
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,DepositWitness witness)DepositWitness(bytes32 channel,uint256 depositBefore)TokenPermissions(address token,uint256 amount)"
                ),
                keccak256(
                    abi.encode(keccak256("TokenPermissions(address token,uint256 amount)"), channel.asset, amount)
                ),
                address(channels),
                7,
                deadline,
                keccak256(
                    abi.encode(
                        keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)"),
                        channels.channelId(channel),
                        before
                    )
                )
            )
        );
        return
            sign(payer, keccak256(abi.encodePacked("\x19\x01", IPermit2Domain(permit2).DOMAIN_SEPARATOR(), structHash)));
    }
}
