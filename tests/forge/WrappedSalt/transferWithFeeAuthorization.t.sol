// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSalt} from "../support/Contracts.sol";
import {AuthorizationTest} from "./AuthorizationTest.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";

contract WrappedSalt_transferWithFeeAuthorization is AuthorizationTest {
    function test_transferWithFeeAuthorization_mayGiveAllToTheTreasury() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.fee = 10 ether;

        assertEq(transfersOf(authorization), 1);
        assertEq(token.balanceOf(treasury), 10 ether);
        assertEq(token.balanceOf(payee), 0);
    }

    function test_transferWithFeeAuthorization_mayGiveNothingToTheTreasury() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.fee = 0;

        assertEq(transfersOf(authorization), 1);
        assertEq(token.balanceOf(treasury), 0);
        assertEq(token.balanceOf(payee), 10 ether);
    }

    function test_transferWithFeeAuthorization_reverts_whenFeeExceedsValue() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.fee = 10 ether + 1;

        expectRefusal(
            authorization, abi.encodeWithSelector(IWrappedSalt.FeeExceedsValue.selector, 10 ether + 1, 10 ether)
        );
    }

    function test_transferWithFeeAuthorization_reverts_whenTreasuryIsZero() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.treasury = address(0);

        expectRefusal(authorization, abi.encodeWithSelector(IWrappedSalt.ZeroTreasury.selector));
    }

    /// @dev Submits it and counts the ERC-20 transfers that it logs.
    function transfersOf(Authorization memory authorization) private returns (uint256 transfers) {
        Signature memory signature = signed(authorization);
        vm.recordLogs();
        submit(token, authorization, signature);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IERC20.Transfer.selector) ++transfers;
        }
    }

    function structHashOf(Authorization memory authorization) internal pure override returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "TransferWithFeeAuthorization(address from,address to,uint256 value,address treasury,uint256 fee,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                authorization.from,
                authorization.to,
                authorization.value,
                authorization.treasury,
                authorization.fee,
                authorization.validAfter,
                authorization.validBefore,
                authorization.nonce
            )
        );
    }

    function submit(WrappedSalt to, Authorization memory authorization, Signature memory signature) internal override {
        vm.prank(relayer);
        to.transferWithFeeAuthorization(
            authorization.from,
            authorization.to,
            authorization.treasury,
            authorization.value,
            authorization.fee,
            authorization.validAfter,
            authorization.validBefore,
            authorization.nonce,
            signature.v,
            signature.r,
            signature.s
        );
    }

    function invalidSignature(address) internal pure override returns (bytes memory) {
        return abi.encodeWithSelector(IWrappedSalt.InvalidFeeAuthorization.selector);
    }

    function feeOf(uint256 value) internal pure override returns (uint256) {
        return value / 10;
    }
}
