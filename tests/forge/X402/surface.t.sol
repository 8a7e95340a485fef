// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {
    IX402ExactPermit2Proxy,
    IX402Permit2Proxy,
    IX402UptoPermit2Proxy
} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {
    Salt,
    X402ExactPermit2Proxy,
    X402UptoPermit2Proxy,
    newX402ExactPermit2Proxy,
    newX402UptoPermit2Proxy
} from "../support/Contracts.sol";
import {X402Test} from "./X402Test.sol";

/// @notice What x402's clients and facilitators count on: selectors, type hashes, topics; and payments that its
/// JavaScript client (npm x402 evm 2.27.0) made, settled as they are.
contract X402_surface is X402Test {
    address private constant CANONICAL_EXACT = 0x402085c248EeA27D92E8b30b2C58ed07f9E20001;
    address private constant CANONICAL_UPTO = 0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002;

    /// @dev What the client was told: a token, a payee, a facilitator on Citrate; and what it made of it.
    address private constant TOKEN = 0x00000000000000000000000000000000005a1700;
    address private constant PAYEE = 0x1111111111111111111111111111111111111111;
    address private constant FACILITATOR = 0x2222222222222222222222222222222222222222;
    address private constant CLIENT = 0x01CA95Ba9a19e6F88A90082367c285D179275De4;
    bytes private constant EXACT_SIGNATURE =
        hex"96589bf4686f449a0dc9f4d50f0b287e137ed749b91330b6a0355e8163771d812e8126627e85e8526cfb93920982c9601a675ed96b2d9a7a710cf2f271f98be71c";
    bytes private constant UPTO_SIGNATURE =
        hex"e90c428a3dc5c3ff1533e0ee277373bff57779631805f51a7359775689e63ebd6608413d932febf29dad8313eff510f11ed2ea70b5b57d3b4bb8fa4d663609271b";

    function test_surface_hasX402sSelectors() external pure {
        assertEq(IX402ExactPermit2Proxy.settle.selector, bytes4(0x13cd3b53));
        assertEq(IX402ExactPermit2Proxy.settleWithPermit.selector, bytes4(0xfa340378));
        assertEq(IX402UptoPermit2Proxy.settle.selector, bytes4(0xff11e7b4));
        assertEq(IX402UptoPermit2Proxy.settleWithPermit.selector, bytes4(0x016c1748));
        assertEq(IX402Permit2Proxy.PERMIT2.selector, bytes4(keccak256("PERMIT2()")));
    }

    function test_surface_hasX402sTypes() external {
        X402ExactPermit2Proxy exact = newX402ExactPermit2Proxy(permit2);
        X402UptoPermit2Proxy upto = newX402UptoPermit2Proxy(permit2);

        assertEq(exact.PERMIT2(), 0x000000000022D473030F116dDEE9F6B43aC78BA3);
        assertEq(exact.WITNESS_TYPEHASH(), 0xd97b3239a7f32295517bd14cb074edfdd188dfe5eb42f802bb26d4fd1eb12c37);
        assertEq(
            exact.WITNESS_TYPE_STRING(),
            "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)"
        );
        assertEq(
            signedTypeHash(exact.WITNESS_TYPE_STRING()),
            0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7
        );
        assertEq(upto.PERMIT2(), 0x000000000022D473030F116dDEE9F6B43aC78BA3);
        assertEq(upto.WITNESS_TYPEHASH(), 0xd4171c445a74218b01d4fd8af34ff1106580ea1e36ff837e64484bfaa2253b75);
        assertEq(
            upto.WITNESS_TYPE_STRING(),
            "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)"
        );
        assertEq(
            signedTypeHash(upto.WITNESS_TYPE_STRING()),
            0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee
        );
    }

    function test_constructor_reverts_whenPermit2IsZero() external {
        vm.expectRevert(IX402Permit2Proxy.InvalidPermit2Address.selector);
        newX402ExactPermit2Proxy(address(0));
        vm.expectRevert(IX402Permit2Proxy.InvalidPermit2Address.selector);
        newX402UptoPermit2Proxy(address(0));
    }

    function test_settle_takesWhatAnX402ClientSigned_exact() external {
        onCitrate();
        deployCodeTo("X402ExactPermit2Proxy.sol", abi.encode(permit2), CANONICAL_EXACT);

        IX402ExactPermit2Proxy(CANONICAL_EXACT)
            .settle(
                permitOf(29693950800808582248311054713790600134958125607284452922655858723705176376836),
                CLIENT,
                IX402ExactPermit2Proxy.Witness({to: PAYEE, validAfter: 0}),
                EXACT_SIGNATURE
            );

        assertEq(Salt(TOKEN).balanceOf(PAYEE), 1_500_000_000_000_000);
    }

    function test_settle_takesWhatAnX402ClientSigned_upto() external {
        onCitrate();
        deployCodeTo("X402UptoPermit2Proxy.sol", abi.encode(permit2), CANONICAL_UPTO);

        vm.prank(FACILITATOR);
        IX402UptoPermit2Proxy(CANONICAL_UPTO)
            .settle(
                permitOf(52961113787772759489294772632133145962167763297390251868466287700600660245694),
                500_000_000_000_000,
                CLIENT,
                IX402UptoPermit2Proxy.Witness({to: PAYEE, facilitator: FACILITATOR, validAfter: 0}),
                UPTO_SIGNATURE
            );

        assertEq(Salt(TOKEN).balanceOf(PAYEE), 500_000_000_000_000);
    }

    function onCitrate() private {
        vm.chainId(40204);
        vm.warp(1_800_000_010);
        deployCodeTo("Salt.sol", abi.encode(CLIENT, FUNDS), TOKEN);
        vm.prank(CLIENT);
        Salt(TOKEN).approve(permit2, type(uint256).max);
    }

    function permitOf(uint256 nonce) private pure returns (IX402Permit2Proxy.PermitTransferFrom memory) {
        return IX402Permit2Proxy.PermitTransferFrom({
            permitted: IX402Permit2Proxy.TokenPermissions({token: TOKEN, amount: 1_500_000_000_000_000}),
            nonce: nonce,
            deadline: 1_800_000_300
        });
    }

    function signedTypeHash(string memory end) private pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,",
                end
            )
        );
    }

    /// @dev A call of an address without code succeeds, and would be taken for a payment.
    function test_settle_reverts_wherePermit2IsNot() external {
        address nowhere = makeAddr("nowhere");
        Payment memory payment = paymentOf(address(token), AMOUNT);
        X402ExactPermit2Proxy exact = newX402ExactPermit2Proxy(nowhere);
        vm.expectRevert(bytes(""));
        exact.settle(permitOf(payment), payer.addr, exactWitnessOf(payment), "");

        X402UptoPermit2Proxy upto = newX402UptoPermit2Proxy(nowhere);
        vm.prank(facilitator);
        vm.expectRevert(bytes(""));
        upto.settle(permitOf(payment), AMOUNT, payer.addr, uptoWitnessOf(payment), "");
    }
}
